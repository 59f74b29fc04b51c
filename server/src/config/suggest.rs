//! The nearest of some names, for whoever mistyped one.

/// The name most like `wrong`, if one is like it at all.
pub(crate) fn nearest<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// From 0, nothing in common, to 1, the same. Half the letters may differ, but no more.
    const LIKENESS_MIN: f64 = 0.55;
    let wrong = wrong.to_lowercase();
    let rated = names.into_iter().map(|name| (likeness(&wrong, name), name));
    let best = rated.max_by(|(left, _), (right, _)| left.total_cmp(right));
    best.filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .map(|(_, name)| name)
}

fn likeness(wrong: &str, name: &str) -> f64 {
    /// One that holds the other whole, such as `addr` and `grpc_addr`.
    const PART: f64 = 0.6;
    const PART_BYTES_MIN: usize = 3;
    let edits = strsim::normalized_damerau_levenshtein(wrong, name);
    let is_part = name.contains(wrong) || wrong.contains(name);
    if is_part && wrong.len().min(name.len()) >= PART_BYTES_MIN {
        edits.max(PART)
    } else {
        edits
    }
}
