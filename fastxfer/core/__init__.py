"""The native core as the rest of the library sees it: one module per job, compiled or pure; and what changes bytes on the way."""
