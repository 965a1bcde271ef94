"""What computes: a doorman over the pipeline. Started by `python -m dras_service.worker`."""
