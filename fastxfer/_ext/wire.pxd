from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    GROUP_WIDTH = 16
    # Room for the longest head: header, three integers, group, prefix, extension, filename.
    HEAD_CAPACITY = 256

# What a reply to QUERY_FILE_INFO tells beside the source.
cdef struct FileFacts:
    int64_t size
    int64_t modified
    uint32_t crc32


cdef class FileId:
    cdef str file_id
    cdef Py_ssize_t group_length
    cdef Py_ssize_t extension_length
    cdef int path_index
    cdef int first_subdir
    cdef int second_subdir
    cdef unsigned char source[4]
    cdef uint32_t source_number
    cdef uint32_t timestamp
    cdef uint64_t masked_size
    cdef uint32_t checksum
    cdef bint is_slave
    cdef bint is_appender
    cdef bint is_trunk
    cdef uint32_t trunk_fields[3]

    cdef int64_t told_size(self) noexcept
    cdef const char *group_text(self) noexcept


cdef FileId decoded(str file_id)
cdef str file_id_in(const char *data, Py_ssize_t size)
cdef int file_info_in(const char *data, Py_ssize_t size, FileFacts *facts) except -1
cdef str file_source_in(const char *data, Py_ssize_t size)
cdef Py_ssize_t put_file_request(char *out, int command, str file_id, int status) except -1
cdef Py_ssize_t put_upload(char *out, int command, int store_path_index, int64_t size, str extension) except -1
cdef Py_ssize_t put_download(char *out, str file_id, int64_t offset, int64_t length) except -1
