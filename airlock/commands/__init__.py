"""The commands of ``airlock``, one module a noun."""
