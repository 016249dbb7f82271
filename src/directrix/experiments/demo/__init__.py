"""The demo: discover, steer, judge and show."""
