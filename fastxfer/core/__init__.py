"""The native core as the rest of the library sees it: one module per job, compiled or pure.

And what changes bytes on the way, which has no native form.
"""
