"""The autoencoders, one file a family of the chapter. Each file lists its entries in `ENTRIES`."""
