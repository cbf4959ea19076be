"""What every store promises: one suite over the public interface, run against each kind of store in `conftest.py`."""
