//! Who is there: what was found last, and what was found before and may still be there. Pure: time is an argument.
//!
//! Whoever is found counts at once. Whoever is not found any more stays for a while, as an answer may be wrong for a moment;
//! and an answer that knows of nobody is wrong, or of no use: it never takes away all servers.

use std::time::{Duration, Instant};

use super::found::Found;

/// Most servers that are taken in: more are no cluster, and each has figures of its own.
const MOST: usize = 100;

/// Those who are there.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    list: Vec<Listed>,
}

/// A server that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// As it was found last.
    pub(crate) found: Found,
    /// Since when it is not found any more.
    pub(crate) missing: Option<Instant>,
}

/// What another answer changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A server that was not there.
    Come(Found),
    /// What is said of one is something else.
    Changed(Found),
    /// One is not found any more, and stays for now.
    Missed(Found),
    /// One is gone.
    Gone(Found),
    /// Nobody was found, and all stay.
    Nobody,
    /// So many were found that some are passed over.
    TooMany,
}

impl Roll {
    /// Takes in an answer. Those it does not name go when they have been missed for `keep`; `None`: they stay.
    pub(crate) fn take(&mut self, mut found: Vec<Found>, keep: Option<Duration>, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        if found.len() > MOST {
            found.truncate(MOST);
            news.push(News::TooMany);
        }
        if found.is_empty() {
            return if self.list.is_empty() { news } else { vec![News::Nobody] };
        }
        for listed in &mut self.list {
            match (found.iter().find(|one| one.is(&listed.found)), listed.missing) {
                (Some(one), _) => {
                    if *one != listed.found {
                        news.push(News::Changed(one.clone()));
                    }
                    *listed = Listed { found: one.clone(), missing: None };
                }
                (None, None) => {
                    listed.missing = Some(now);
                    news.push(News::Missed(listed.found.clone()));
                }
                // While nobody goes the time does not count either.
                (None, Some(_)) if keep.is_none() => listed.missing = Some(now),
                (None, Some(_)) => {}
            }
        }
        let stays = |listed: &Listed| match (listed.missing, keep) {
            (Some(since), Some(keep)) => now.saturating_duration_since(since) < keep,
            _ => true,
        };
        let (staying, going): (Vec<_>, Vec<_>) = self.list.drain(..).partition(stays);
        self.list = staying;
        news.extend(going.into_iter().map(|listed| News::Gone(listed.found)));
        for one in found {
            if !self.list.iter().any(|listed| listed.found.is(&one)) {
                news.push(News::Come(one.clone()));
                self.list.push(Listed { found: one, missing: None });
            }
        }
        news
    }

    /// How long until the first of those that are missed may go.
    pub(crate) fn next_departure(&self, keep: Duration, now: Instant) -> Option<Duration> {
        let missing = self.list.iter().filter_map(|listed| listed.missing);
        missing.map(|since| (since + keep).saturating_duration_since(now)).min()
    }

    /// Those who are there, in the order in which they came.
    pub(crate) fn list(&self) -> &[Listed] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Option<Duration> = Some(Duration::from_secs(30));

    fn found(port: u16) -> Found {
        Found {
            name: port.to_string(),
            host: "db".to_owned(),
            address: None,
            port,
            entry: None,
            said: String::new(),
            quiet: None,
        }
    }

    fn ports(roll: &Roll) -> Vec<u16> {
        roll.list().iter().map(|listed| listed.found.port).collect()
    }

    fn after(seconds: u64, from: Instant) -> Instant {
        from + Duration::from_secs(seconds)
    }

    #[test]
    fn who_is_found_counts_at_once_and_who_is_missed_stays_for_a_while() {
        let (mut roll, begin) = (Roll::default(), Instant::now());
        assert_eq!(roll.take(vec![found(1), found(2)], KEEP, begin).len(), 2);
        let news = roll.take(vec![found(2), found(3)], KEEP, after(10, begin));
        assert_eq!(news, [News::Missed(found(1)), News::Come(found(3))]);
        assert_eq!(ports(&roll), [1, 2, 3]);
        assert_eq!(
            roll.next_departure(Duration::from_secs(30), after(20, begin)),
            Some(Duration::from_secs(20))
        );
        assert_eq!(roll.take(vec![found(2), found(3)], KEEP, after(39, begin)), []);
        assert_eq!(roll.take(vec![found(2), found(3)], KEEP, after(40, begin)), [News::Gone(found(1))]);
        assert_eq!(ports(&roll), [2, 3]);
        assert_eq!(roll.next_departure(Duration::from_secs(30), begin), None);
    }

    #[test]
    fn who_is_found_again_has_not_been_missed() {
        let (mut roll, begin) = (Roll::default(), Instant::now());
        roll.take(vec![found(1), found(2)], KEEP, begin);
        roll.take(vec![found(1)], KEEP, after(1, begin));
        assert_eq!(roll.take(vec![found(1), found(2)], KEEP, after(20, begin)), []);
        assert_eq!(roll.take(vec![found(1)], KEEP, after(40, begin)), [News::Missed(found(2))]);
    }

    #[test]
    fn nobody_is_not_believed() {
        let (mut roll, begin) = (Roll::default(), Instant::now());
        assert_eq!(roll.take(vec![], KEEP, begin), []);
        roll.take(vec![found(1)], KEEP, begin);
        assert_eq!(roll.take(vec![], KEEP, after(1000, begin)), [News::Nobody]);
        assert_eq!(roll.take(vec![], KEEP, after(2000, begin)), [News::Nobody]);
        assert_eq!(ports(&roll), [1]);
    }

    #[test]
    fn without_an_end_nobody_goes_and_no_time_passes() {
        let (mut roll, begin) = (Roll::default(), Instant::now());
        roll.take(vec![found(1), found(2)], None, begin);
        roll.take(vec![found(1)], None, after(1, begin));
        assert_eq!(roll.take(vec![found(1)], None, after(1000, begin)), []);
        assert_eq!(roll.take(vec![found(1)], KEEP, after(1001, begin)), []);
        assert_eq!(roll.take(vec![found(1)], KEEP, after(1030, begin)), [News::Gone(found(2))]);
    }

    #[test]
    fn at_once_is_said_by_no_time_at_all() {
        let (mut roll, begin) = (Roll::default(), Instant::now());
        roll.take(vec![found(1), found(2)], KEEP, begin);
        let news = roll.take(vec![found(1)], Some(Duration::ZERO), begin);
        assert_eq!(news, [News::Missed(found(2)), News::Gone(found(2))]);
    }

    #[test]
    fn what_is_said_anew_is_news() {
        let (mut roll, begin) = (Roll::default(), Instant::now());
        roll.take(vec![found(1)], KEEP, begin);
        let other = Found { said: "replica".to_owned(), ..found(1) };
        assert_eq!(roll.take(vec![other.clone()], KEEP, begin), [News::Changed(other)]);
    }

    #[test]
    fn there_are_not_too_many() {
        let mut roll = Roll::default();
        let news = roll.take((1..=200).map(found).collect(), KEEP, Instant::now());
        assert_eq!((news.first(), roll.list().len()), (Some(&News::TooMany), MOST));
    }
}
