"""Scripted tests against a perfSONAR mesh: whether they agree, how sure that is, and what is wrong if not."""
