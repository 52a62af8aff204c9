"""The servers that are measured: one file for each library, used as its own documentation says is fastest."""
