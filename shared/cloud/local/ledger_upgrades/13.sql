UPDATE deliveries SET reason = current_reason(state, reason) WHERE reason LIKE '%hookchain release%';
UPDATE destinations SET disabled_reason = current_reason('', disabled_reason)
    WHERE disabled_reason LIKE '%hookchain release%';
