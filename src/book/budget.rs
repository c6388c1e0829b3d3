//! What may be spent in a UTC day. Pure.

use crate::base::UserKey;

/// Billed calls per UTC day; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyBudget(pub Option<u64>);

impl DailyBudget {
    /// Whether one more call may be made after `spent` of today's.
    pub fn allows(self, spent: u64) -> bool {
        self.0.is_none_or(|limit| spent < limit)
    }
}

/// What may be spent in a UTC day.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// By all together (`limits.daily_budget`).
    pub budget: DailyBudget,
    /// By each user (`limits.daily_budget_per_user`).
    pub user_budget: DailyBudget,
}

/// Whose budget is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That of all together.
    All,
    User(UserKey),
}

impl Allowed {
    /// Whose budget does not allow one more call of `user`, after so many of all and of that user.
    pub fn spent(self, all: u64, own: u64, user: &UserKey) -> Option<Whose> {
        if !self.budget.allows(all) {
            return Some(Whose::All);
        }
        if self.user_budget.allows(own) { None } else { Some(Whose::User(user.clone())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_at_its_limit() {
        assert!(DailyBudget(Some(10)).allows(9));
        assert!(!DailyBudget(Some(10)).allows(10));
        assert!(DailyBudget(None).allows(u64::MAX));
        let allowed = Allowed { budget: DailyBudget(Some(3)), user_budget: DailyBudget(Some(1)) };
        let user = UserKey::Uid(7);
        assert_eq!(allowed.spent(2, 0, &user), None);
        assert_eq!(allowed.spent(2, 1, &user), Some(Whose::User(user.clone())));
        assert_eq!(allowed.spent(3, 0, &user), Some(Whose::All));
    }
}
