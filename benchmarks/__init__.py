"""Speed against PyPI's basicsr, asked for by hand: `python -m benchmarks` writes `benchmarks/RESULTS.md`."""
