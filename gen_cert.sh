#!/usr/bin/env bash
# gen_cert.sh FILE.p12: turns the certificate that a browser exported into the two files that Grid software reads,
# ~/.globus/usercert.pem and ~/.globus/userkey.pem. It asks for the password of FILE.p12 once for each of them, then
# twice for the pass phrase that shall protect the key; without a terminal it reads these four lines from its input.
# Exit status: 0 done; 2 nothing to do it with or in the way; 3 wrong password, or not a usable .p12.
set -euo pipefail
umask 077

fail() { # STATUS SENTENCE
  echo "$2" >&2
  exit "$1"
}

ask() { # VARIABLE PROMPT
  local ended=''
  IFS= read -rs -p "$2" "$1" || ended=yes
  if [[ -t 0 ]]; then echo >&2; fi
  [[ -z $ended ]] || fail 3 "Nothing was entered; nothing was changed."
}

convert() { # OPTION...: the PEM blocks which these options of openssl pkcs12 choose
  printf '%s\n' "$password" "$phrase" | # a builtin, so no secret is among the arguments of a process
    openssl pkcs12 -in "$p12" -passin stdin -passout stdin "$@" 2>"$new/errors" |
    sed -n '/^-----BEGIN/,/^-----END/p'
}

extract() { # OPTION...: the same from old files, too, whose RC2 OpenSSL 3 decrypts only when told so
  convert "$@" && return
  if grep -q unsupported "$new/errors"; then convert -legacy "$@" && return; fi
  if grep -qi -e "mac verify" -e "bad decrypt" "$new/errors"; then
    fail 3 "This is not the password of $shown; nothing was changed."
  fi
  fail 3 "$shown cannot be read; export your certificate with its key from the browser again."
}

[[ $# == 1 && $1 != -* ]] || fail 2 "usage: $0 FILE.p12"
[[ -n ${HOME-} ]] || fail 2 "HOME is not set, so the files have no place."
p12=$1 globus=$HOME/.globus password='' phrase='' again=''
shown=${p12//[[:cntrl:]]/?} # a terminal would obey what a browser or a mail has named so
command -v openssl >/dev/null || fail 2 "openssl is missing; install the package openssl."
[[ -f $p12 && -r $p12 ]] || fail 2 "$shown is not a readable file."
[[ ! -e $globus && ! -L $globus ]] ||
  fail 2 "$globus exists already; to make a new one, first move the old one away: $(printf 'mv %q %q' "$globus" "$globus.old")"

new=$(mktemp -d "$globus.XXXXXX" 2>/dev/null) || fail 2 "$HOME is not writable."
trap 'rm -rf "$new"' EXIT

convert -noout || grep -qi "mac verify" "$new/errors" || # which only a .p12 gets, for a password not yet asked for
  fail 3 "$shown is not a .p12 file; export your certificate with its key from the browser."
ask password "Enter Import Password:"
extract -clcerts -nokeys >"$new/usercert.pem"
echo "MAC verified OK" >&2
ask password "Enter Import Password:"
extract -noout # before anybody thinks of a pass phrase
echo "MAC verified OK" >&2
ask phrase "Enter PEM pass phrase:"
((${#phrase} >= 4)) || fail 3 "A pass phrase needs at least 4 characters; nothing was changed."
ask again "Verifying - Enter PEM pass phrase:"
[[ $phrase == "$again" ]] || fail 3 "The two pass phrases differ; nothing was changed."
extract -nocerts -aes256 >"$new/userkey.pem"

# A browser's backup of all its certificates holds several; which of them is meant only their owner knows.
[[ $(cat "$new"/user*.pem | grep -c BEGIN) == 2 ]] ||
  fail 3 "$shown does not contain exactly one certificate with its key; export only these. Nothing was changed."
rm "$new/errors"
chmod 644 "$new/usercert.pem"
chmod 400 "$new/userkey.pem" # the C++ client takes no key that others may read
# mv of macOS has no -T, and would put the one into the other if there were a $globus by now.
if mv --version >/dev/null 2>&1; then mv -T "$new" "$globus"; else mv "$new" "$globus"; fi
echo "The files usercert.pem and userkey.pem have been created and moved to $globus"
