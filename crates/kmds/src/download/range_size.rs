//! Which range to ask for next, where only bounded ranges are served (YouTube field notes, 3.2).
//!
//! Owns the sizes of ranges and how they shrink after a refusal. Pure: it does no I/O.

use kmds_extract::recipes::YouTubeRecipe;

/// A larger range that is refused is asked for at this size: addresses that are refused 4 MiB are served 1 MiB.
const SMALL_RANGE_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RangeSize {
    /// Size of the range at hand.
    next: u64,
    /// Size of those that follow.
    later: u64,
    least: u64,
}

impl RangeSize {
    pub(super) fn new(recipe: &YouTubeRecipe) -> Self {
        let most = recipe.most_range_bytes.max(1);
        let bounded = |bytes: u64| bytes.clamp(1, most);
        Self {
            next: bounded(recipe.first_range_bytes),
            later: bounded(recipe.range_bytes),
            least: recipe.least_range_bytes.max(1),
        }
    }

    /// First and last byte of the range to ask for at `offset`, never beyond the file.
    pub(super) fn range(&self, offset: u64, total: Option<u64>) -> (u64, u64) {
        let last = offset.saturating_add(self.next - 1);
        (
            offset,
            total.map_or(last, |total| last.min(total.saturating_sub(1))),
        )
    }

    /// A range came whole: the next ones are large.
    pub(super) fn arrived(&mut self) {
        self.next = self.later;
    }

    /// A range of `asked` bytes was refused. Returns whether a smaller one is worth a request at the same place, down
    /// to the least size, since some addresses get no more than that.
    pub(super) fn refused(&mut self, asked: u64) -> bool {
        let small = if asked > SMALL_RANGE_BYTES {
            SMALL_RANGE_BYTES
        } else {
            asked / 2
        }
        .max(self.least);
        if small >= asked {
            return false;
        }
        (self.next, self.later) = (small, small);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use kmds_extract::Recipes;
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    static RECIPES: LazyLock<Recipes> = LazyLock::new(Recipes::built_in);

    fn size() -> RangeSize {
        RangeSize::new(&RECIPES.youtube)
    }

    /// Every range of a file of `total` bytes, as lengths.
    fn plan(mut size: RangeSize, total: u64) -> Vec<u64> {
        let (mut offset, mut lengths) = (0, Vec::new());
        while offset < total {
            let (first, last) = size.range(offset, Some(total));
            assert_eq!(first, offset);
            lengths.push(last - first + 1);
            offset = last + 1;
            size.arrived();
        }
        assert_eq!(offset, total);
        lengths
    }

    #[test]
    fn the_first_range_is_small_the_others_large_and_the_last_ends_with_the_file() {
        assert_eq!(
            plan(size(), 11_680_243),
            [MIB, 4 * MIB, 4 * MIB, 11_680_243 - 9 * MIB]
        );
        assert_eq!(plan(size(), MIB), [MIB]);
        assert_eq!(plan(size(), MIB + 1), [MIB, 1]);
        assert_eq!(plan(size(), 1), [1]);
    }

    #[test]
    fn a_refusal_is_asked_again_at_the_same_place_with_less_down_to_the_least() {
        let mut size = size();
        size.arrived();
        for length in [4 * MIB, MIB, MIB / 2, MIB / 4] {
            assert_eq!(size.range(MIB, Some(100 * MIB)), (MIB, MIB + length - 1));
            assert_eq!(size.refused(length), length > MIB / 4, "{length}");
        }
    }

    #[test]
    fn a_size_that_worked_after_a_refusal_is_kept_for_the_file() {
        let mut size = size();
        size.arrived();
        assert!(size.refused(4 * MIB));
        size.arrived();
        assert_eq!(size.range(2 * MIB, None), (2 * MIB, 3 * MIB - 1));
        assert!(size.refused(MIB), "another place may shrink again");
        assert_eq!(size.range(2 * MIB, None), (2 * MIB, 2 * MIB + MIB / 2 - 1));
    }

    #[test]
    fn ranges_never_shrink_below_the_least() {
        let mut size = size();
        assert!(size.refused(MIB) && size.refused(MIB / 2));
        assert!(!size.refused(MIB / 4), "256 KiB is the least");
        let mut end_of_file = RangeSize::new(&RECIPES.youtube);
        assert!(
            end_of_file.refused(300_000),
            "the last range of a file may be shorter than was wanted"
        );
        assert_eq!(end_of_file.range(0, None), (0, MIB / 4 - 1));
        assert!(
            !RangeSize::new(&RECIPES.youtube).refused(1_000),
            "a file this small was asked for whole"
        );
        let least = YouTubeRecipe {
            least_range_bytes: 2 * MIB,
            ..RECIPES.youtube.clone()
        };
        let mut size = RangeSize::new(&least);
        assert!(size.refused(4 * MIB));
        assert_eq!(size.range(0, None), (0, 2 * MIB - 1), "however large it is");
    }

    proptest! {
        #[test]
        fn ranges_cover_any_file_without_gap_or_overlap(total in 1_u64..200_000_000) {
            let lengths = plan(size(), total);
            prop_assert_eq!(lengths.iter().sum::<u64>(), total);
            prop_assert!(lengths.iter().all(|&length| length <= RECIPES.youtube.most_range_bytes));
        }
    }
}
