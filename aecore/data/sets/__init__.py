"""The named data sets, one file each; `aecore.data.SETS` is the table of them."""
