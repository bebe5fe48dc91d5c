"""Commands on ``ftp://``, ``ftps://``, ``ftpes://`` and ``fdfs://`` URLs and local paths alike."""
