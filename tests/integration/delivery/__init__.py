"""Nothing finished is lost: programs under load, receivers that fail, and an exact count."""
