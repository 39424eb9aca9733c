"""What gridsync.py works with.

Parts, each using only those above it; none of them knows the script:

  errors          what can go wrong, and its exit status
  secrets         what nobody may see, and text without it
  log             what is logged, and where
  words           sizes, times and names as text
  table           the keys of Grid.conf, and their values
  sites           those that gridsync knows by itself
  values          what all hand to each other
  kinds           the kinds of sites: a row each
  recids          what names records of a portal
  sampling        some files of many
  convoy          small files, many at once in the hands of one thread
  machine         what this machine has too little of
  disk            local names and files; replacing one in one step
  checksums       checksums that grow with the bytes
  stats           the file of --stats
  home            OUTPUTDIR and the folders below it
  segments        what of a file is here, and the table that says so
  takeover        what can be had of a part file that somebody may still write to
  ownfile         a file that one process alone writes to
  partfile        a file while it is copied
  conf            the text of Grid.conf, and whose it is
  settings        what Grid.conf says, checked
  sheet           a file of rows, in CSV
  catalog         grid_summary.csv and the lock of the work folder
  keys            what is shown at a door: files and helpers
  vomses          the VOMS servers that come with the tool
  keys/proxy      the user's proxy, and the certificate that it is made of
  keys/oidc       tokens of oidc-agent
  keys/login      a new account there
  keys/token      bearer tokens
  keys/password   user name and password for a site that wants them
  keys/signing    a proxy that is made of the user's, for a server that asks for one
  keys/shown      which credential a site is shown, and why
  errand          what a URL on the command line means, for one run
  choices         the sites, and whether what they want to be shown is at hand
  pace            every waiting time, and the one law of failures
  doors           the seam: the verbs behind which doors differ
  doors/throttle  what a door takes, and how fast
  doors/urls      URLs that may be shown, and where they lead
  doors/relay     the web proxy on the way to a door
  doors/drip      bytes that drip
  doors/answers   answers, and an end to each
  doors/refused   what answers mean that are errors
  doors/sending   bytes on their way to a server
  doors/guest     how servers are asked, whichever library carries it
  doors/wire      requests over http.client
  keys/voms_aa    a membership, asked of the VO's server by ourselves
  keys/client     a new proxy, which a VOMS client makes
  doors/rest      requests over requests, for REST services
  doors/digests   checksums, in the words of doors
  doors/listing   what a door says of a folder
  doors/tape      the Tape REST API of a site
  doors/plain     what doors without tape and checksums have in common
  doors/writing   files that are sent to a WebDAV door
  doors/handed    keys that a door gives out for another one
  doors/delegation  a proxy that a door gets to act with
  doors/marks     what a door says of a copy to another one
  doors/crossing  copies from door to door
  doors/webdav    a WebDAV door
  doors/hubwire   requests to the services of a hub
  doors/hubsend   files that are sent to one of them
  doors/hubcert   a proxy that one of them keeps
  doors/record    a record of the CERN Open Data portal
  doors/portal    what the portal is asked
  doors/searching  which records words mean there
  doors/entries   a record of a repository of Invenio's kind, and its files
  doors/recall    files that it has on tape only
  doors/budget    how often and how much a repository is asked
  doors/repository  what a repository is asked, and its answers
  doors/drafts    its drafts
  doors/deposit   files that are sent into them
  doors/archive   what a repository is asked by readers
  doors/seeking   which records words mean there
  doors/ftplist   what an FTP server says of a folder
  doors/ftpwire   a line to it, and the channels for data
  doors/ftplines  all lines to it, and one login
  doors/ftpnames  what it says of names, and what it means when it refuses
  doors/ftpput    files that are sent there
  doors/sftp      SFTP, version 3
  doors/openssh   OpenSSH's own client as a child
  doors/channels  the channels to a server that is reached by ssh
  doors/remote    what is asked of a server that speaks SFTP
  doors/sftpin    a file on its way here by SFTP
  doors/sftpout   files that are sent by SFTP
  doors/contexts  the contexts of gfal2, and what it shows
  doors/gfal      the same verbs through gfal2
  doors/opening   a site, opened by its kind
  doors/apart     a site that a process of its own speaks to
  plans           what to do with rows, from facts alone
  forecast        what would be done, and what skipped, and why
  pool            threads
  pacing          no more bytes a second than --bwlimit allows
  bounds          how fast and how long a run may be
  loop            calls to the site, tried again, and the only wait
  walk            all files below a folder
  jobs            files still to come: where each is, and what is next
  fetching        what events mean for them, and which come next
  orders          calls to the site about them
  chores          what is done with a site again and again, and what is told when it fails
  polls           staging requests, asked how far they are
  waves           files on tape that are asked for together
  service         what is asked of a site about files, one call after the other
  mover           what moves the files of a run, whichever way
  copy            one file, from its first byte until it has its name
  namesakes       names that are one and the same on some disks
  copier          the files of a run: what they have in common
  telling         errors as Python programs get them
  reading         a file at a site, read as if it were here
  rereader        files that are here, read again
  attempts        what --stats says of the files of a run
  delphi          a record of the portal as metadata of a repository
  metadata        what a repository is told of a record
  outbox          local files that are to be sent
  uploads         grid_uploads.csv
  source          a local file that is sent
  put             one local file, from its first byte until it has its name at the site
  putter          the files of a run on their way there
  sending         what events mean for them
  farm            copies on several machines
  farm/loads      what a run and its workers hand to each other
  farm/marking    what a run tells workers of itself, and the mark in its folder
  farm/fit        whether a process is fit to work for it
  farm/shops      what it has open for the runs that it works for
  farm/hand       what a worker does
  farm/tls        keys for what they say, made for one run
  farm/beside     processes of Dask's beside this one
  farm/batch      jobs of a batch system
  farm/hiring     workers of this machine, of a batch system, of a scheduler
  farm/calls      what a worker is asked
  farm/crew       those of a run, as far as Dask knows them
  farm/roster     which of them has which files
  farm/field      the files of a run in their hands
  farm/lane       the same as a lane of the pool
  through         a file on its way through this machine
  there           what a target site has, as whoever decides sees it
  pull            one file from site to site, from its first byte until it has its name there
  ferry           the files of a run on their way from site to site
  zipped          what a zip of local files consists of
  bundle          the files of a deposit as one zip
  deposits        what there is to deposit
  intents         what grid_uploads.csv says of deposits
  case            a deposit on its way, and whether a draft is what was meant
  course          how a deposit becomes a record, step by step
  bars            a bar for each file on its way
  screen          lines that are printed or redrawn, and colours
  runs            what a command line is about, as far as its flow needs it
  farm/start      what a run with workers is made of
  dry             what a dry run tells in the end
  hooks           ON_DONE: a command for each file that is here
  named           files that a list names
  finding         the records that words name at a portal
  survey          a folder, listed while other things go on
  endings         what ends a run before it is done
  bringing        what brings files here, and how that is shown
  flow            one loop for all that takes long
  ground          the folders at a site that files are sent into
  outgoing        a run that sends: what it is made of
  fts             what an FTS3 server is asked
  across          a run from site to site: what it is made of
  ftsfiles        files that it copies: how they are noted, and compared
  ftsnews         which files those are
  ftsjobs         its jobs, and the files in them
  ftscancel       their end before they are done
  drafting        deposits on their way to a repository
  depositing      a run that deposits: what it is made of
  patient         what the doctor looks at
  looks           what a run needs, one by one
  doctor          what a run needs, looked at
  gauge           how far something is, for programs
  haul            files of a Python program on their way, for one call
  parcel          the same, to a site
  face            sites for Python programs
  fs              fsspec's grid://, for pandas, uproot and others
  report/said     numbers and names as a report says them
  report/reasons  why attempts have failed, in few words
  report/times    when something moved
  report/gather   what a stats file comes to
  report/flows    what the records of a portal are
  report/figures  figures of all that
  report/markup   a table as HTML
  report/tables   and tables
  report/dress    how their page looks
  report/page     the page
  report          a stats file as a page
  report/telling  the same in a screen of a terminal
  ctadata/opened  the sites that ctadata's names are about
  ctadata/moved   files under names that a program chooses
  ctadata/verbs   what ctadata's names do
  ctadata/direct  ctadata's names at the dCache behind the hub
  ctadata         ctadata's names
  ctadata/shell   ctadata's lines of the shell
  ctadata/direct/__main__  those of cta-data-direct
  ctadata/__main__         those of cta-data

A file in doors/ that only a row of kinds names needs no line here; it uses what is above doors/opening.
"""

__version__ = "1.0.0"
