"""Pictures -> answers, by a run, a release or a lone file, and what is written and drawn of them."""
