"""`demo --web`: real nodes in this process, on a network that the reader of a page may break."""
