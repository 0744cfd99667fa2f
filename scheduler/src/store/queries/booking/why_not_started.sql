-- Why a start was refused, for the frames that it did not return. Rare. $1 frame ids.
SELECT f.pk_frame,
       CASE WHEN f.str_state <> 'WAITING' THEN 'frame_taken'
            WHEN NOT sh.b_scheduler_managed OR NOT sh.b_active THEN 'show_not_managed'
            WHEN j.str_state <> 'PENDING' THEN 'job_not_pending'
            WHEN j.b_paused THEN 'job_paused'
            WHEN l.ts_start_after > now() THEN 'start_after'
            WHEN f.int_version = 2147483647 OR f.int_retries = 9223372036854775807 THEN 'frame_worn_out'
            ELSE 'frame_changed' END AS cause
FROM frame f
JOIN layer l ON l.pk_layer = f.pk_layer
JOIN job j ON j.pk_job = f.pk_job
JOIN show sh ON sh.pk_show = j.pk_show
WHERE f.pk_frame = ANY($1)
