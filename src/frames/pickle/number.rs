//! Whole numbers of any size, up to Python's bound.

use super::arena::{Costs, MAX_DIGITS, Node};

const TOO_LONG: &str = "it has a number of more than 4,300 digits";
const NONE: &str = "it has a number that is none";

/// A number in decimal; `L` may stand behind it.
pub(super) fn from_decimal(word: &str, costs: &mut Costs) -> Result<Node, &'static str> {
    let word = word.strip_suffix('L').unwrap_or(word);
    if let Ok(whole) = word.parse() {
        return Ok(Node::Whole(whole));
    }
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(NONE);
    }
    let digits = digits.trim_start_matches('0');
    if digits.len() > MAX_DIGITS {
        return Err(TOO_LONG);
    }
    let sign = if word.starts_with('-') { "-" } else { "" };
    costs.charge(word.len())?;
    let text = [sign, digits].concat();
    Ok(text.parse().map_or_else(|_| Node::Digits(text.into()), Node::Whole))
}

/// A number in two's complement, little end first.
pub(super) fn from_bytes(bytes: &[u8], costs: &mut Costs) -> Result<Node, &'static str> {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    if bytes.len() <= 8 {
        let mut whole = if negative { [0xff; 8] } else { [0; 8] };
        whole[..bytes.len()].copy_from_slice(bytes);
        return Ok(Node::Whole(i64::from_le_bytes(whole)));
    }
    // 4,300 digits are 14,285 bits.
    if bytes.len() > 1788 {
        return Err(TOO_LONG);
    }
    let limbs = bytes.len().div_ceil(4);
    costs.charge_work(limbs * limbs)?;
    costs.charge(3 * bytes.len())?;
    let mut number: Vec<u32> = bytes
        .chunks(4)
        .map(|chunk| {
            let mut limb = if negative { [0xff; 4] } else { [0; 4] };
            limb[..chunk.len()].copy_from_slice(chunk);
            u32::from_le_bytes(limb)
        })
        .collect();
    if negative {
        let mut carry = true;
        for limb in &mut number {
            (*limb, carry) = (!*limb).overflowing_add(u32::from(carry));
        }
    }
    let mut groups = Vec::new();
    while let Some(last) = number.iter().rposition(|limb| *limb != 0) {
        number.truncate(last + 1);
        let rest = number.iter_mut().rev().fold(0_u64, |rest, limb| {
            let value = rest << 32 | u64::from(*limb);
            *limb = (value / 1_000_000_000) as u32;
            value % 1_000_000_000
        });
        groups.push(rest);
    }
    let mut text = String::from(if negative { "-" } else { "" });
    text.push_str(&groups.last().copied().unwrap_or_default().to_string());
    groups.iter().rev().skip(1).for_each(|group| text.push_str(&format!("{group:09}")));
    if text.trim_start_matches('-').len() > MAX_DIGITS {
        return Err(TOO_LONG);
    }
    Ok(text.parse().map_or_else(|_| Node::Digits(text.into()), Node::Whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn text(node: Result<Node, &'static str>) -> String {
        match node.unwrap() {
            Node::Whole(whole) => whole.to_string(),
            Node::Digits(digits) => digits.into(),
            other => panic!("{other:?}"),
        }
    }

    fn costs() -> Costs {
        let mut arena = super::super::arena::Arena::default();
        arena.begin(1 << 20);
        arena.costs
    }

    #[test]
    fn whole_numbers_of_any_size_are_the_same_in_both_forms() {
        for number in
            [0, 1, -1, 127, -128, i128::from(i64::MAX), i128::from(i64::MIN), 1 << 64, i128::MAX, i128::MIN]
        {
            let costs = &mut costs();
            assert_eq!(text(from_bytes(&number.to_le_bytes(), costs)), number.to_string());
            assert_eq!(text(from_decimal(&format!("{number}L"), costs)), number.to_string());
        }
        assert_eq!(text(from_bytes(&[0xff], &mut costs())), "-1");
        assert_eq!(text(from_bytes(&[], &mut costs())), "0");
    }

    #[test]
    fn a_number_is_bounded() {
        let costs = &mut costs();
        assert_eq!(text(from_decimal(&"9".repeat(4300), costs)).len(), 4300);
        for word in ["", "-", "1x", "0x10", "--1", &"9".repeat(4301)] {
            assert!(from_decimal(word, costs).is_err(), "{word}");
        }
        assert!(from_bytes(&[0x7f; 1789], costs).is_err());
        let refused = (0..100).find(|_| from_bytes(&[0x7f; 1780], costs).is_err());
        assert!(refused.is_some(), "the work is bounded");
    }
}
