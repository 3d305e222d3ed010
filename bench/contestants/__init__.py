"""Each a program: `python -m bench.contestants.NAME SOURCE_URL SERVER_URL`; prints {"wall": seconds} at the end."""
