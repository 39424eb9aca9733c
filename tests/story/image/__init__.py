"""The container image: built from the Dockerfile, measured, and used as README.md says. `make image-test`."""
