"""The pool of batch jobs: which jobs to submit, which execution to give to which job."""
