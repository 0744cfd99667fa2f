-- Gives back every lock of the session, so that others see them free before it is closed.
SELECT pg_advisory_unlock_all()
