//! What a session has set, on top of other defaults than those it began with.
//!
//! Where a connection would not give a session what it was given at its login, the session wants that by itself, as if
//! its client had come with it: so it is set in front of what runs there, and a RESET goes back to it. Pure.

use crate::backend::datestyle;
use crate::backend::settings::Settings;

/// Settings that rest on the defaults of `now`, which rested on those of `before`. What the client has set itself stays.
pub(crate) fn rebased(settings: &Settings, before: &Settings, now: &Settings) -> Settings {
    let gone = before.iter().map(|(name, _)| name).filter(|name| now.get(name).is_none());
    let names = gone.chain(now.iter().map(|(name, _)| name));
    names.fold(settings.clone(), |settings, name| {
        let given = now.get(name).cloned();
        match settings.get(name) {
            Some(set) if Some(set) != before.get(name) => match given {
                // The half that is not said is the default's.
                Some(given) if name == datestyle::NAME => {
                    let both = datestyle::on_top_of(Some(&given), set.clone());
                    settings.with(name, Some(both))
                }
                _ => settings,
            },
            _ => settings.with(name, given),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::value::Value;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::new(
            pairs.iter().map(|(name, value)| ((*name).into(), Value::Raw((*value).into()))).collect(),
        )
    }

    #[test]
    fn what_the_client_has_set_stays_and_the_rest_follows_the_defaults() {
        let none = Settings::default();
        let given = settings(&[("timezone", "Asia/Tokyo"), ("work_mem", "1MB")]);
        let set = settings(&[("timezone", "UTC"), ("jit", "off")]);
        let both = rebased(&set, &none, &given);
        assert_eq!(both, settings(&[("timezone", "UTC"), ("jit", "off"), ("work_mem", "1MB")]));
        assert_eq!(rebased(&both, &given, &none), set);
        let later = rebased(&both, &given, &settings(&[("work_mem", "2MB")]));
        assert_eq!(later, set.with("work_mem", Some(Value::Raw("2MB".into()))));
        assert_eq!(rebased(&given, &given, &none), none);
    }

    #[test]
    fn half_a_date_style_stands_on_the_other_half_of_the_default() {
        let given = settings(&[("datestyle", "SQL, DMY")]);
        let set = rebased(&settings(&[("datestyle", "ISO")]), &Settings::default(), &given);
        assert_eq!(set.get("datestyle"), Some(&Value::Sql("'ISO, DMY'".into())));
    }
}
