"""Tools for whole trees: batches, synchronising, mirroring, backups, verification, removal."""
