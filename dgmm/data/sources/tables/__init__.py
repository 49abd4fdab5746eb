"""Tables as sources: Parquet and CSV, read by pyarrow in bounded batches; and results as Parquet.

`open_table` gives the source. Types are declared before anything is read: Parquet's from the
footers, CSV's as numbers for features and as text for everything that is carried along. Only this
package imports pyarrow.
"""
