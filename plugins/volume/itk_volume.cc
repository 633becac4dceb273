/* itk_volume.cc - see itk_volume.h. ITK's image classes are not used: its readers and writers work
 * on plain buffers, which keeps this file quick to compile and voxels where we put them. */
#include "itk_volume.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <itkMetaImageIO.h>
#include <itkNrrdImageIO.h>
#include <string>

namespace
{

/* ITK would write warnings to the terminal. */
void be_quiet()
{
    static const bool done = [] {
        itk::Object::SetGlobalWarningDisplay(false);
        return true;
    }();
    (void)done;
}

/* The gist of an ITK exception: its last line, without addresses of objects. */
mf_status translate(const char *path, const char *doing, const std::string &what)
{
    std::string line = what;
    while (!line.empty() && (line.back() == '\n' || line.back() == ' ' || line.back() == '.'))
        line.pop_back();
    line = line.substr(line.rfind('\n') == std::string::npos ? 0 : line.rfind('\n') + 1);
    size_t address = line.find("(0x"), end = line.find("): ");
    if (address != std::string::npos && end != std::string::npos && end > address)
        line = line.substr(end + 3);
    return mf_fail(MF_CORRUPT, "%s: cannot be %s: %s", path, doing, line.c_str());
}

template <typename work> mf_status guarded(const char *path, const char *doing, work body)
{
    be_quiet();
    try {
        return body();
    } catch (const itk::ExceptionObject &e) {
        return translate(path, doing, e.GetDescription());
    } catch (const std::bad_alloc &) {
        return mf_fail(MF_NO_MEMORY, "%s: no memory for its voxels", path);
    } catch (const std::exception &e) {
        return translate(path, doing, e.what());
    } catch (...) {
        return translate(path, doing, "unknown reason");
    }
}

struct dtype_pair {
    itk::IOComponentEnum component;
    mf_dtype dtype;
};
const dtype_pair dtypes[] = {
    {itk::IOComponentEnum::UCHAR, MF_U8},   {itk::IOComponentEnum::CHAR, MF_I8},
    {itk::IOComponentEnum::USHORT, MF_U16}, {itk::IOComponentEnum::SHORT, MF_I16},
    {itk::IOComponentEnum::UINT, MF_U32},   {itk::IOComponentEnum::INT, MF_I32},
    {itk::IOComponentEnum::LONG, MF_I64},   {itk::IOComponentEnum::LONGLONG, MF_I64},
    {itk::IOComponentEnum::FLOAT, MF_F32},  {itk::IOComponentEnum::DOUBLE, MF_F64}};

mf_status dtype_of(const char *path, itk::IOComponentEnum component, mf_dtype *dtype)
{
    for (const dtype_pair &pair : dtypes)
        if (pair.component == component) {
            *dtype = pair.dtype;
            return MF_OK;
        }
    return mf_fail(MF_UNSUPPORTED, "%s: voxels of type %s are not read", path,
                   itk::ImageIOBase::GetComponentTypeAsString(component).c_str());
}

/* Size, dtype and count of what an opened reader is about to read. */
mf_status measure(const char *path, itk::ImageIOBase *io, int64_t size[4], mf_dtype *dtype,
                  size_t *bytes)
{
    MF_TRY(dtype_of(path, io->GetComponentType(), dtype));
    if (io->GetNumberOfComponents() != 1)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: has %u values a voxel (colour or vectors), not one", path,
                               io->GetNumberOfComponents()),
                       "convert it to a grey-scale scan first");
    unsigned rank = io->GetNumberOfDimensions();
    *bytes = mf_dtype_size(*dtype);
    for (unsigned a = 0; a < (rank > 4 ? rank : 4); a++) {
        int64_t n = a < rank ? (int64_t)io->GetDimensions(a) : 1;
        if (n < 1 || !mf_size_mul(*bytes, (size_t)n, bytes))
            return mf_fail(MF_CORRUPT, "%s: claims an impossible size", path);
        if (a >= 4 && n > 1)
            return mf_fail(MF_UNSUPPORTED, "%s: has %u dimensions", path, rank);
        if (a < 4)
            size[a] = n;
    }
    return MF_OK;
}

/* LPS as ITK has it to RAS+: the first two world axes change sign. */
void geometry(itk::ImageIOBase *io, mf_grid *grid)
{
    unsigned rank = io->GetNumberOfDimensions();
    for (unsigned a = 0; a < 3; a++) {
        grid->spacing[a] = a < rank ? io->GetSpacing(a) : 1;
        grid->origin[a] = (a < rank ? io->GetOrigin(a) : 0) * (a < 2 ? -1 : 1);
        std::vector<double> column = a < rank ? io->GetDirection(a) : std::vector<double>();
        for (unsigned r = 0; r < 3; r++) {
            double d = r < column.size() ? column[r] : r == a ? 1 : 0;
            grid->direction[3 * r + a] = d * (r < 2 ? -1 : 1);
        }
    }
}

void whole_region(itk::ImageIOBase *io)
{
    itk::ImageIORegion region(io->GetNumberOfDimensions());
    for (unsigned a = 0; a < io->GetNumberOfDimensions(); a++) {
        region.SetIndex(a, 0);
        region.SetSize(a, io->GetDimensions(a));
    }
    io->SetIORegion(region);
}

mf_status read_into(itk::ImageIOBase *io, const char *path, int64_t time, mf_grid *grid,
                    mf_array **voxels)
{
    int64_t size[4];
    mf_dtype dtype = MF_U8;
    size_t bytes;
    io->SetFileName(path);
    io->ReadImageInformation();
    MF_TRY(measure(path, io, size, &dtype, &bytes));
    if (size[3] > 1 && time < 0)
        return mf_hint(
            mf_fail(MF_UNSUPPORTED, "%s: has %lld time points, not one", path, (long long)size[3]),
            "time: N (from 0) takes one of them");
    if (time >= size[3])
        return mf_fail(MF_INVALID, "%s: has %lld time points; time: %lld is not one of them", path,
                       (long long)size[3], (long long)time);
    for (int a = 0; a < 3; a++)
        grid->size[a] = size[a];
    geometry(io, grid);
    whole_region(io);
    const int64_t shape[4] = {size[3], size[2], size[1], size[0]};
    mf_array *all;
    MF_TRY(mf_array_new(dtype, 4, shape, &all));
    try {
        io->Read(all->data);
    } catch (...) {
        mf_array_unref(all);
        throw;
    }
    mf_status failed = mf_array_new(dtype, 3, shape + 1, voxels);
    if (!failed)
        memcpy((*voxels)->data,
               (const char *)all->data + (size_t)(time < 0 ? 0 : time) * (*voxels)->bytes,
               (*voxels)->bytes);
    mf_array_unref(all);
    return failed;
}

bool ends_with(const std::string &text, const char *suffix)
{
    size_t n = strlen(suffix);
    return text.size() >= n && !text.compare(text.size() - n, n, suffix);
}

mf_status write_with(itk::ImageIOBase *io, const char *path, const mf_grid *grid,
                     const mf_array *voxels)
{
    unsigned rank = (unsigned)voxels->rank;
    io->SetFileName(path);
    io->SetNumberOfDimensions(rank);
    for (unsigned a = 0; a < rank; a++) {
        std::vector<double> column(rank, 0.0);
        for (unsigned r = 0; r < rank; r++)
            column[r] = a < 3 && r < 3 ? grid->direction[3 * r + a] * (r < 2 ? -1 : 1) : r == a;
        io->SetDimensions(a, (itk::SizeValueType)voxels->shape[rank - 1 - a]);
        io->SetSpacing(a, a < 3 ? grid->spacing[a] : 1);
        io->SetOrigin(a, a < 3 ? grid->origin[a] * (a < 2 ? -1 : 1) : 0);
        io->SetDirection(a, column);
    }
    for (const dtype_pair &pair : dtypes)
        if (pair.dtype == voxels->dtype)
            io->SetComponentType(pair.component);
    io->SetPixelType(itk::IOPixelEnum::SCALAR);
    io->SetNumberOfComponents(1);
    io->SetUseCompression(true);
    whole_region(io);
    io->WriteImageInformation();
    io->Write(voxels->data);
    return MF_OK;
}

} // namespace

mf_status itk_write(const char *path, const mf_grid *grid, const mf_array *voxels)
{
    return guarded(path, "written", [&]() -> mf_status {
        itk::ImageIOBase::Pointer io;
        if (ends_with(path, ".nrrd"))
            io = itk::NrrdImageIO::New();
        else
            io = itk::MetaImageIO::New();
        return write_with(io, path, grid, voxels);
    });
}
