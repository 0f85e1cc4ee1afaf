//! The numbers of the control messages, in one table.

/// The first element of a control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Op(pub(super) u8);

/// Number, how many elements the tuple has (this one included), and whether a payload follows it.
macro_rules! ops {
    ($($name:ident = $value:literal, $arity:literal $(+ $payload:ident)?;)*) => {
        impl Op {
            $(pub(super) const $name: Self = Self($value);)*

            /// Every operation, as in OTP's `dist.h` after `DOP_`.
            #[cfg(test)]
            pub(super) const KNOWN: &[(&str, Self)] = &[$((stringify!($name), Self::$name)),*];

            /// How many elements its tuple has, and whether a payload follows. `None` for no operation.
            pub(super) const fn shape(self) -> Option<(usize, bool)> {
                match self {
                    $(Self::$name => Some(($arity, false $(|| stringify!($payload).len() > 0)?)),)*
                    Self(_) => None,
                }
            }
        }
    };
}

// Not among them: UNLINK (4), which OTP 26 and later answer by closing, and NODE_LINK (5), which
// nobody has sent for decades.
ops! {
    LINK = 1, 3;
    SEND = 2, 3 + message;
    EXIT = 3, 4;
    REG_SEND = 6, 4 + message;
    GROUP_LEADER = 7, 3;
    EXIT2 = 8, 4;
    SEND_TT = 12, 4 + message;
    EXIT_TT = 13, 5;
    REG_SEND_TT = 16, 5 + message;
    EXIT2_TT = 18, 5;
    MONITOR_P = 19, 4;
    DEMONITOR_P = 20, 4;
    MONITOR_P_EXIT = 21, 5;
    SEND_SENDER = 22, 3 + message;
    SEND_SENDER_TT = 23, 4 + message;
    PAYLOAD_EXIT = 24, 3 + reason;
    PAYLOAD_EXIT_TT = 25, 4 + reason;
    PAYLOAD_EXIT2 = 26, 3 + reason;
    PAYLOAD_EXIT2_TT = 27, 4 + reason;
    PAYLOAD_MONITOR_P_EXIT = 28, 4 + reason;
    SPAWN_REQUEST = 29, 6 + arguments;
    SPAWN_REQUEST_TT = 30, 7 + arguments;
    SPAWN_REPLY = 31, 5;
    SPAWN_REPLY_TT = 32, 6;
    ALIAS_SEND = 33, 3 + message;
    ALIAS_SEND_TT = 34, 4 + message;
    UNLINK_ID = 35, 4;
    UNLINK_ID_ACK = 36, 4;
    // At least so many: "the tuple may be longer than needed".
    ALTACT_SIG_SEND = 37, 4 + message_or_reason;
}

/// The flags in `ALTACT_SIG_SEND`.
pub(super) mod altact {
    /// Ahead of other messages, if the receiver is a priority alias.
    #[cfg(test)]
    pub(in crate::dist) const PRIO: u64 = 1;
    /// The fifth element is a trace token.
    pub(in crate::dist) const TOKEN: u64 = 2;
    /// The receiver is an alias.
    pub(in crate::dist) const ALIAS: u64 = 4;
    /// The receiver is a name.
    pub(in crate::dist) const NAME: u64 = 8;
    /// The payload is the reason of `exit/2`, not a message.
    pub(in crate::dist) const EXIT: u64 = 16;
}

/// The flags in `SPAWN_REPLY`.
pub(super) mod spawned {
    pub(in crate::dist) const LINK: u64 = 1;
    pub(in crate::dist) const MONITOR: u64 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTP: &str = include_str!("../../erlang-fixtures/wire/dist.h.txt");

    fn otp_number(name: &str) -> Option<u64> {
        let line = OTP.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))?;
        line.parse().ok()
    }

    #[test]
    fn ops_match_otp() {
        for (name, op) in Op::KNOWN {
            assert_eq!(otp_number(&format!("DOP_{name}")), Some(u64::from(op.0)), "{name}");
        }
        let operations = OTP.lines().filter(|line| line.starts_with("DOP_")).count();
        assert_eq!(Op::KNOWN.len() + 1, operations, "all of OTP's but UNLINK");
    }

    #[test]
    fn flags_inside_control_messages_match_otp() {
        for (name, flag) in [
            ("ERTS_DOP_ALTACT_SIG_FLG_PRIO", altact::PRIO),
            ("ERTS_DOP_ALTACT_SIG_FLG_TOKEN", altact::TOKEN),
            ("ERTS_DOP_ALTACT_SIG_FLG_ALIAS", altact::ALIAS),
            ("ERTS_DOP_ALTACT_SIG_FLG_NAME", altact::NAME),
            ("ERTS_DOP_ALTACT_SIG_FLG_EXIT", altact::EXIT),
            ("ERTS_DIST_SPAWN_FLAG_LINK", spawned::LINK),
            ("ERTS_DIST_SPAWN_FLAG_MONITOR", spawned::MONITOR),
        ] {
            assert_eq!(otp_number(name), Some(flag), "{name}");
        }
    }
}
