//! From what the user wrote to what the program runs on: defaults, units, cross checks, all mistakes at once.
use super::Config;
use std::path::Path;
/// One mistake, with the path of its key.
#[derive(Debug)]
pub struct Mistake {
    /** where */
    pub key: String,
    /** what */
    pub problem: String,
}
/// All mistakes.
#[derive(Debug)]
pub struct Mistakes(pub Vec<Mistake>);
/// Loads and checks.
pub fn load(_path: &Path) -> Result<Config, Mistakes> {
    Err(Mistakes(vec![]))
}
