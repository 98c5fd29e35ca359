"""Queue sources besides the stream. A broker's module is imported only where its source is configured."""
