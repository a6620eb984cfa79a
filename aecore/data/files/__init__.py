"""Readers of files: pictures, tables, ratings, archives and downloads, each checked before it is used."""
