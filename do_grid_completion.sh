#!/usr/bin/env bash
# do_grid_completion.sh: lets TAB complete the options of gridsync.py, sites and the remote folders that
# listings have shown. Source it in ~/.bashrc, or in ~/.zshrc (below compinit, if that is called there).
case ${ZSH_VERSION-${BASH_VERSION-0}} in
  [0-3] | [0-3].*)
    echo "do_grid_completion.sh is for bash, from version 4 on, and for zsh; this shell is neither." >&2
    return 2
    ;;
esac

# Nobody waits for Python at a TAB, so options and sites stand here once more; tools/pages.py writes them. A value follows
# on =; the one of --ls_dir may be left out.
_gridsync_options=(
  --help --new_proxy --proxy_status --from_LYON --from_CNAF --show_conf --ls_dir --input_dir= --output_dir= --exc=
  --inc= --build_list --bring_online --check_status --verbose --start --force --nochecksum --overwrite --release
  --threads= --streams= --from= --new_token --doctor --sync --verify --sample= --repair --put= --metadata= --publish
  --new_version --to= --via_here --trust_target --fts= --cancel --report= --files_from= --workers= --bwlimit=
  --max_duration= --stats= --dry_run --json --workdir= --quiet --log_file= --debug --version
)
_gridsync_sites=(
  list LYON CNAF CTA CTA_DCACHE DIAMOND DESY CERN_OPENDATA ZENODO NRP
)

# Names on the Grid are a stranger's: on the line, in a list and on the way there they must be no more than names.
_gridsync_split() { # TEXT: its words without their quotes to parts, the last one to typed
  # Of that one, quote is the quote that is open, escape a backslash at its end, live whether the shell would act on it.
  local text=$1 next bang=${histchars-!}
  if [[ -n ${ZSH_VERSION-} ]]; then bang=''; fi # zsh has taken away what quotes it
  parts=() typed='' quote='' escape='' live=''
  while [[ -n $text ]]; do
    next=${text:0:1} text=${text:1}
    case $quote$next in
      \' | \") quote=$next ;;
      "''" | '""') quote='' ;;
      [[:blank:]])
        parts+=("$typed") typed='' live=''
        while [[ $text == [[:blank:]]* ]]; do text=${text:1}; done
        ;;
      \\ | \"\\)
        if [[ -z $text ]]; then
          escape=\\
        elif [[ -n $quote && $text != [\"\$\`\\]* ]]; then
          typed+=\\
        fi
        typed+=${text:0:1} text=${text:1}
        ;;
      [\$\`\;\&\|\<\>\(\)] | \"[\$\`] | "${bang:0:1}" | "\"${bang:0:1}") typed+=$next live=yes ;;
      *) typed+=$next ;;
    esac
  done
}

_gridsync_read() { # BEFORE AFTER: what the line says before and after the cursor, to the variables of the caller
  local parts typed after word name='' expected='' line section='' awaits='' next=''
  _gridsync_split "$2"
  after=("${parts[@]}" "$typed") # the first of these is the rest of the word at the cursor
  _gridsync_split "$1"
  folder=${GRIDSYNC_DIR:-.} site='' sites=() given=' '
  for word in "${after[@]:1}" "${parts[@]}" "$typed"; do # so option and value are in the end those at the cursor
    given+="$name " awaits=$next name='' option=$expected value=$word expected=''
    if [[ $option == --ls_dir && $word == --* ]]; then option=''; fi
    if [[ -z $option && $word == --* ]]; then
      name=${word:2} name=${name%%=*} name=--${name//-/_} value=$name
      if [[ $word == *=* ]]; then
        option=$name value=${word#*=}
      elif [[ $name == --ls_dir || " ${_gridsync_options[*]} " == *" $name= "* ]]; then
        expected=$name
      fi
    fi
    case $option$name in
      --from_*) site=${name#--from_} ;;
      --from*) site=$value ;;
      --workdir*) folder=${value:-$folder} ;;
      '') if [[ $word == *://* ]]; then next=DIR; elif [[ -n $word ]]; then next=''; fi ;; # one behind a URL
    esac
  done
  if [[ -z $option && $value != -* && $value != *://* ]]; then option=$awaits; fi
  if [[ $folder == \~/* ]]; then folder=$HOME/${folder:2}; fi
  sites=("${_gridsync_sites[@]}")
  if [[ -f $folder/Grid.conf && -r $folder/Grid.conf ]]; then
    while IFS= read -r line || [[ -n $line ]]; do
      line=${line%$'\r'}
      if [[ $line == \[*\]* ]]; then
        section=${line:1} section=${section%%\]*}
        if [[ $section != gridsync ]]; then sites+=("$section"); fi
      elif [[ -z $site && $section == gridsync && ${line//[[:blank:]]/} == [Ss][Ii][Tt][Ee]=* ]]; then
        read -r site <<<"${line#*=}"
      fi
    done <"$folder/Grid.conf"
  fi
  site=${site:-LYON}
}

_gridsync_offers() { # STEM STYLE: what can stand where STEM is typed, a line each
  # STYLE (' " or \) quotes what is new; with none, names stand there as they are.
  local name
  if [[ -n $live ]]; then return; fi # "$ and (date) behind it would be a command
  case $option in
    '')
      for name in "${_gridsync_options[@]}"; do
        if [[ $name == "$value"* && $given != *" ${name%=} "* ]]; then
          if [[ $name != *= ]]; then name+=${2:+ }; fi
          printf '%s%s\n' "$1" "${name#"$value"}"
        fi
      done
      ;;
    --from) printf '%s\n' "${sites[@]}" | _gridsync_rests "$@" ' ' ;;
    --to) printf '%s\n' "${sites[@]:1}" | _gridsync_rests "$@" ' ' ;; # but list
    --inc | --exc) echo none | _gridsync_rests "$@" ' ' ;;
    --stats) _gridsync_stats "$@" ;;
    --input_dir | --ls_dir)
      if [[ ! -f $folder/grid_folders.txt ]]; then return; fi
      name=$(_gridsync_rests "$@" / <"$folder/grid_folders.txt")
      if [[ -z $name && $value == *:* ]]; then # at a portal several records stand between colons
        name=$(value=${value##*:} _gridsync_rests "$@" / <"$folder/grid_folders.txt")
      fi
      if [[ -n $name ]]; then printf '%s\n' "$name"; fi
      ;;
  esac
}

_gridsync_stats() { # STEM STYLE: folders, and files that --stats may have written
  local name value=$value
  if [[ $value == \~/* && -z $quote ]]; then value=$HOME/${value:2}; fi
  for name in "$value"*; do # a folder is compared without the slashes in front of it
    if [[ -d $name && $name != *$'\n'* ]]; then printf '%s\t%s\n' "$site" "${name#"${name%%[!/]*}"}"; fi
  done | _gridsync_rests "$@" /
  for name in "$value"*; do
    if [[ -f $name && $name != *$'\n'* && $name == *.@(jsonl|csv) ]]; then printf '%s\n' "$name"; fi
  done | _gridsync_rests "$@" ' '
}

_gridsync_rests() { # STEM STYLE END: those of the values (END is a blank) or folders (END is /) read that go on from value
  LC_ALL=C stem=$1 style=$2 end=$3 site=$site value=$value avoided=$avoided awk '
    function offer(rest) {
      if (style == "\047") gsub(/\047/, "\047\\\047\047", rest)
      if (style == "\"") { gsub(/["$`\\]/, "\\\\&", rest); gsub(/!/, "\"\\!\"", rest) } # "!" would recall a command
      if (style == "\\") gsub(/[^A-Za-z0-9_.\/+:,%@\200-\377-]/, "\\\\&", rest)
      if (stem == "" && style != "\\" && substr(rest, 1, 1) == style) rest = style rest # readline drops one before it
      print stem rest (end == "/" || style == "\\" ? end : "")
    }
    function is_clean(name, at) { # nothing in it that a terminal obeys or does not show, and all of it UTF-8
      if (name ~ /[\001-\037\177]|\302[\200-\237]|\330\234/) return 0
      if (name ~ /\342\200[\213-\217\250-\256]|\342\201[\240-\257]|\357\273\277/) return 0
      gsub(/[\302-\337][\200-\277]|[\340-\357][\200-\277][\200-\277]/, " ", name)
      gsub(/[\360-\364][\200-\277][\200-\277][\200-\277]/, " ", name)
      for (at = 1; at <= length(avoided); at++) if (index(name, substr(avoided, at, 1))) return 0
      return name !~ /[\200-\377]/
    }
    BEGIN {
      stem = ENVIRON["stem"]; style = ENVIRON["style"]; end = ENVIRON["end"]; avoided = ENVIRON["avoided"]
      FS = end == "/" ? "\t" : "\n"; site = tolower(ENVIRON["site"]); value = ENVIRON["value"]
      if (end == "/") sub("^/+", "", value)
    }
    index($NF end, value) == 1 && $NF end != value && (end == " " || NF == 2 && tolower($1) == site) {
      rest = substr($NF, length(value) + 1)
      if (end == "/" && (at = index(rest, "/"))) rest = substr(rest, 1, at - 1)
      if (rest in seen || !is_clean($NF)) next
      seen[rest]
      if (!count++ || rest < first) first = rest
      if (rest > last) last = rest
    }
    END {
      if (count <= 1000) for (rest in seen) offer(rest)
      else { offer(first); offer(last) } # nobody reads so many, and these two have in common what all have
    }
  '
}

_gridsync_bash() {
  local IFS=$' \t\n' folder given option quote escape live site sites value stem=$2 avoided=''
  _gridsync_read "${COMP_LINE:0:COMP_POINT}" "${COMP_LINE:COMP_POINT}"
  if [[ -n $escape ]]; then stem=${stem%?}; fi # what follows brings its own
  case $option in
    --output_dir | --workdir | DIR) compopt -o dirnames ;;
    --log_file | --files_from | --put | --report) compopt -o default +o nospace ;;
    --stats) if [[ -n $live ]]; then compopt -o default +o nospace; fi ;;
  esac
  if [[ ${histchars-!} != !* ]]; then avoided=${histchars:0:1}; fi
  case $COMP_TYPE$quote in
    9* | 63*) ;;
    42[\'\"]) return ;; # insert-completions takes the quote away
    *\') avoided+=\$\` ;; # to colour a list, readline looks for each of it on the disk, and expands it for that
  esac
  mapfile -t COMPREPLY < <(_gridsync_offers "$stem" "${quote:-\\}" 2>/dev/null)
  if [[ $COMP_TYPE == 63 && ${#COMPREPLY[@]} -gt 1 ]]; then # this is only to be shown, so names do instead of paths
    stem=${value##*/}
    if [[ -n $stem ]]; then printf -v stem %q "$stem"; fi
    mapfile -t COMPREPLY < <(_gridsync_offers "$stem" \\ 2>/dev/null)
  fi
}

_gridsync_zsh() { # zsh quotes what it is given by itself
  local folder given option quote escape live site sites value stem avoided='' word shown=() open=() closed=()
  # shellcheck disable=SC2154 # words is an array of zsh
  _gridsync_read "${words[*]:0:$((CURRENT - 1))} $QIPREFIX$PREFIX" " ${words[*]:$CURRENT}"
  if [[ -n $option ]]; then compset -P '--[^=]#='; fi
  case $option in
    --output_dir | --workdir | DIR) _files -/ && return ;;
    --log_file | --files_from | --put | --report) _files && return ;;
    --stats) _path_files -g '*.(jsonl|csv) *(-/)'; return ;;
    '') stem=$PREFIX ;;
    *) stem=$value ;;
  esac
  # The completer _expand, which some have before _complete, expands at the next TAB what stands in any quotes.
  if [[ " ${_completers[*]-} " == *" _expand"* ]]; then avoided=$'"$`\'\\<>=(){}[]*?~#^!;&|'; fi
  local IFS=$'\n'
  for word in $(_gridsync_offers "$stem" '' 2>/dev/null); do
    case $quote$word in
      \"*\$\'*) ;; # zsh would take "$'' for $'' at the next TAB, and leave what is in it without quotes
      *[=/]) open+=("$word") shown+=("${word#"${stem%"${stem##*/}"}"}") ;;
      *) closed+=("$word") ;;
    esac
  done
  compadd -S '' -d shown -- "${open[@]}"
  compadd -- "${closed[@]}" || [[ -n ${open[*]} ]]
}

if [[ -z ${ZSH_VERSION-} ]]; then
  complete -o nospace -F _gridsync_bash gridsync.py gridsync GridDataSync.py
else
  typeset -f compdef >/dev/null || { autoload -Uz compinit && compinit -i; }
  compdef _gridsync_zsh gridsync.py gridsync GridDataSync.py
fi
