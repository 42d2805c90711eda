//! Numbers and times in few characters. Pure.

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Milliseconds.
pub(super) fn time(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{:.1} s", ms as f64 / 1000.0),
        10_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// Bytes.
pub(super) fn bytes(n: u64) -> String {
    let mut left = n as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if left < 1000.0 {
            let digits = usize::from(unit != "B" && left < 100.0);
            return format!("{left:.digits$} {unit}");
        }
        left /= 1000.0;
    }
    format!("{left:.1} TB")
}

/// The time of day of an instant after 1970, by UTC: the terminal's zone is not known.
pub(super) fn clock(at_ms: u64) -> String {
    let seconds = at_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Never rounded up to all of them, nor down to none.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        whole if whole <= 0.0 => "0 %".to_owned(),
        whole if whole >= 100.0 => "100 %".to_owned(),
        whole => format!("{:.0} %", whole.clamp(1.0, 99.0)),
    }
}

/// The last values as a line of this many blocks.
pub(super) fn spark(values: &[f64], most: f64, width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let last = &values[values.len().saturating_sub(width)..];
    let block = |value: &f64| {
        let height = (value / most.max(1.0) * 7.0).round().clamp(0.0, 7.0);
        BLOCKS.get(height as usize).copied().unwrap_or('█')
    };
    last.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0, 999, 3_400, 64_000, 7_100_000].map(time),
            ["0 ms", "999 ms", "3.4 s", "64 s", "118 min"]
        );
        assert_eq!(
            [999, 1_500, 777_000, 5_000_000_000_000].map(bytes),
            ["999 B", "1.5 kB", "777 kB", "5.0 TB"]
        );
        assert_eq!(clock(86_400_000 + 3_723_000), "01:02:03");
        assert_eq!([0.0, 0.0001, 0.5, 0.9999, 1.0].map(percent), ["0 %", "1 %", "50 %", "99 %", "100 %"]);
    }

    #[test]
    fn a_spark_is_as_long_as_there_is_room() {
        assert_eq!(spark(&[0.0, 5.0, 10.0], 10.0, 10), "▁▅█");
        assert_eq!(spark(&[9.0, 0.0, 10.0], 10.0, 2), "▁█");
        assert_eq!(spark(&[], 10.0, 2), "");
    }
}
