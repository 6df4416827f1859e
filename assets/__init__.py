"""Files that ship with the package; `tools/` makes them."""
