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
        return mf_no_memory(0, "the voxels of %s", path);
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

void whole_region(itk::ImageIOBase *io)
{
    itk::ImageIORegion region(io->GetNumberOfDimensions());
    for (unsigned a = 0; a < io->GetNumberOfDimensions(); a++) {
        region.SetIndex(a, 0);
        region.SetSize(a, io->GetDimensions(a));
    }
    io->SetIORegion(region);
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
