class Buffer:
    """An aligned, reusable piece of memory from a pool; slices keep it out of the pool until the last one dies."""

class BufferPool:
    """Aligned buffers of one size, reused."""
