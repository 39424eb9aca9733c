"""A small repository on Invenio's own libraries: what runs in the venv of invenio.py, never in the tests themselves."""
