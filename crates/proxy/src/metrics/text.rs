//! Prometheus' own text format, for what does not read OpenMetrics: in it a
//! counter is called by the name of its samples, and there is no end mark.

/// What `accept` asks for: whether that is OpenMetrics.
pub fn wants_open_metrics(accept: &str) -> bool {
    accept.split(',').any(|kind| {
        kind.trim_start()
            .starts_with("application/openmetrics-text")
    })
}

/// The same metrics as in this OpenMetrics text.
pub fn plain(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    // HELP comes before TYPE, and the name depends on the type.
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else {
                continue;
            };
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                out.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.extend([line, "\n"]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_their_samples_name() {
        let open = "# HELP a_bytes Size.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n\
                    a_bytes_total{x=\"# EOF\"} 1\n# HELP b B.\n# TYPE b gauge\nb 2\n# EOF\n";
        let expected = "# HELP a_bytes_total Size.\n# TYPE a_bytes_total counter\n\
                        a_bytes_total{x=\"# EOF\"} 1\n# HELP b B.\n# TYPE b gauge\nb 2\n";
        assert_eq!(plain(open), expected);
    }

    #[test]
    fn open_metrics_is_for_who_asks() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert!(wants_open_metrics(prometheus));
        assert!(wants_open_metrics(
            "text/plain, application/openmetrics-text"
        ));
        assert!(!wants_open_metrics("*/*"));
        assert!(!wants_open_metrics(""));
    }
}
