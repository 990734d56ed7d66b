"""Every statement that the stores run, in SQLAlchemy Core.

What a caller asks for names the caller's project. What a worker or the housekeeping asks for goes
by the job that it holds, or across all projects; those statements are in `runs` and `upkeep`.
"""
