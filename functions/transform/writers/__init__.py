"""Writers of formats that only `convert` writes, each loaded with its first document."""
