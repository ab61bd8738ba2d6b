"""Reports as a browser shows them: needs the extra `browser` and the system's Chromium."""
