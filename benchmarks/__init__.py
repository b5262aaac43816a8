"""Numbers with their recipe: ``python -m benchmarks NAME``, see README.md."""
