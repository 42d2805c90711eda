//! Any bytes: classifying ends without a panic, and a text gets the same verdict twice.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use weir::sql::{Classifier, SkeletonKeys, StandardConformingStrings};

thread_local! {
    /// Two, each with room for one shape: the second verdict is not simply remembered.
    static CLASSIFIERS: RefCell<[Classifier; 2]> =
        RefCell::new([1, 1].map(|n| Classifier::with_keys(n, SkeletonKeys::from_seed([3, 4]))));
}

fuzz_target!(|sql: &[u8]| {
    CLASSIFIERS.with_borrow(|[one, other]| {
        for strings in [StandardConformingStrings::On, StandardConformingStrings::Off] {
            assert_eq!(one.classify(sql, strings), other.classify(sql, strings));
        }
    });
});
