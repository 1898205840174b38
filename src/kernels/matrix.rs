//! Views of rows of equal width inside a flat buffer.

/// `count` rows, each beginning `stride` values after the one before.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The values, from the first row's first one on.
    pub(crate) values: &'a [f32],
    /// Values between the beginnings of two consecutive rows.
    pub(crate) stride: usize,
    /// Number of rows.
    pub(crate) count: usize,
}

impl<'a> Rows<'a> {
    /// Row `index`, cut to `width` values.
    #[inline(always)]
    pub(crate) fn row(&self, index: usize, width: usize) -> &'a [f32] {
        &self.values[index * self.stride..][..width]
    }

    /// The same rows without their first `columns` values.
    pub(crate) fn skip_columns(self, columns: usize) -> Self {
        Rows { values: &self.values[columns..], ..self }
    }
}

/// As [`Rows`], but writable.
pub(crate) struct RowsMut<'a> {
    /// The values, from the first row's first one on.
    pub(crate) values: &'a mut [f32],
    /// Values between the beginnings of two consecutive rows.
    pub(crate) stride: usize,
    /// Number of rows.
    pub(crate) count: usize,
}

impl<'a> RowsMut<'a> {
    /// Row `index`, cut to `width` values.
    #[inline(always)]
    pub(crate) fn row(&mut self, index: usize, width: usize) -> &mut [f32] {
        &mut self.values[index * self.stride..][..width]
    }

    /// The same rows without their first `columns` values.
    pub(crate) fn skip_columns(self, columns: usize) -> RowsMut<'a> {
        RowsMut { values: &mut self.values[columns..], ..self }
    }

    /// The same rows, for a shorter borrow.
    pub(crate) fn reborrow(&mut self) -> RowsMut<'_> {
        RowsMut { values: self.values, stride: self.stride, count: self.count }
    }

    /// The same rows, for reading.
    pub(crate) fn as_rows(&self) -> Rows<'_> {
        Rows { values: self.values, stride: self.stride, count: self.count }
    }
}
