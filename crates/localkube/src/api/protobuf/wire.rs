//! Protobuf's wire format: fields by number. Nothing is allocated from a length.

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// Not Kubernetes' envelope.
    #[error("the body does not start with the envelope of Kubernetes' protobuf")]
    Envelope,
    /// The bytes end inside a field.
    #[error("the message is cut short")]
    Cut,
    /// A field is not of the type that it should be.
    #[error("a field has the wrong wire type")]
    Type,
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A time that does not exist.
    #[error("a time is out of range")]
    Time,
    /// Embedded JSON that is none.
    #[error("embedded json is malformed")]
    Json,
    /// Messages in messages without end.
    #[error("messages are nested too deeply")]
    Depth,
    /// A kind that is not known in this encoding.
    #[error("{kind} of {version} cannot be read as protobuf; send it as json")]
    Kind {
        /// `apiVersion`
        version: String,
        /// `kind`
        kind: String,
    },
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// Reads the fields of a message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// Reads a text.
pub(super) fn text(bytes: &[u8]) -> Result<String, WireError> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| WireError::Text)
}

// === impl Field ===

impl<'a> Field<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], WireError> {
        if let Self::Bytes(bytes) = self {
            Ok(bytes)
        } else {
            Err(WireError::Type)
        }
    }

    pub(super) fn int(self) -> Result<i64, WireError> {
        if let Self::Varint(value) = self {
            Ok(value as i64)
        } else {
            Err(WireError::Type)
        }
    }

    pub(super) fn fixed64(self) -> Result<u64, WireError> {
        if let Self::Fixed64(value) = self {
            Ok(value)
        } else {
            Err(WireError::Type)
        }
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(length).map_err(|_| WireError::Cut)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError::Cut)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(self.take(1)?[0]);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Type)
    }

    fn field(&mut self) -> Result<(u32, Field<'a>), WireError> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?.try_into().map_err(|_| WireError::Cut)?;
                Field::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Field::Fixed32
            }
            _ => return Err(WireError::Type),
        };
        Ok((u32::try_from(tag >> 3).map_err(|_| WireError::Type)?, field))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u32, Field<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            // After an error there is nothing to read on from.
            self.rest = &[];
        }
        Some(field)
    }
}
