"""The routes, by subject: jobs, history, the pipeline dialect and the reports of workers in it, the server itself."""
