"""For plugin authors' tests: network denial, fixtures, and the test that every extension passes."""
