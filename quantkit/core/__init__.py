"""The pure kernel: shapes, calendars, returns, walk-forward, fingerprints. No input or output, nothing above it."""
