"""What gridsync.py works with.

Parts, each using only those above it; none of them knows the script:

  errors      what can go wrong, and its exit status
  secrets     what nobody may see, and text without it
  log         what is logged, and where
  words       sizes, times and names as text
  values      what all hand to each other
  machine     what this machine has too little of
  disk        local names and files; replacing one in one step
  checksums   checksums that grow with the bytes
  home        OUTPUTDIR and the folders below it
  partfile    a file while it is copied
  conf        the text of Grid.conf
  settings    what Grid.conf says, checked
  catalog     grid_summary.csv and the lock of the work folder
  keys        what is shown at a door: files and helpers
  vomses      the VOMS servers that come with the tool
  keys/proxy  the user's proxy, and a new one
  keys/token  bearer tokens
"""

__version__ = "0.1.0"
